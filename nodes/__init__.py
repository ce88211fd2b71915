"""Plain typed functions, one for each step from photos to files; graph/ makes nodes of them."""
