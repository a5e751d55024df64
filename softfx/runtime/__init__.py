"""The functions that rewritten code calls beside those of torch and softtorch: plain functions of tensors.

Their modules and names appear in the text of rewritten code, so they are an interface and stay as they are.
"""
