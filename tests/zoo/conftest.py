"""The zoo's own scripts are run by test_zoo.py, not collected."""

collect_ignore = ["zoo.py", "tv_shim.py", "run_zoo.py"]
