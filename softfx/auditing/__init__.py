"""How good the gradient is: compared with a reference that needs no derivative of the program."""
