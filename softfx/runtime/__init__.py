"""What rewritten code calls beside torch and softtorch: plain functions of tensors, by the names in its text."""
