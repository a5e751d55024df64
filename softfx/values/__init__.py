"""What tensors of a program stand for, and the facts known of them."""
