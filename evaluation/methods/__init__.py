"""What can be evaluated: a method is one class with a name, settings and `predict`."""
