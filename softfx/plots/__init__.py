"""What `softfx plot` shows: curves of operators, and the gradient that each site of a model passes."""
