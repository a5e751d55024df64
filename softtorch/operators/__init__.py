"""The operators: soft forms of torch's functions, one subject a file.

An operator checks its options once (checks.py) and asks methods, modes and kernels for the rest. To add one: a
function here, its name in the module's `__all__`, and its straight-through form in straight_through/operators_st.py.
"""
