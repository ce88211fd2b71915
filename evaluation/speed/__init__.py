"""How fast attention is: kernels against each other, and the choice of blocks against the length of the input."""
