"""The pictures of `softfx plot`: curves of operators, and the gradient that each site of a model passes."""
