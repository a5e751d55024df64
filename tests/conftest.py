"""Settings of every test run: a busy machine makes it slow, never red, and each run tries the same examples."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, settings

# pytest-xdist sets the name in its workers. There torch's threads of one worker would wait for those of the others,
# whatever number the environment asks for. Set before torch is imported, and inherited by the processes of the tests.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["OMP_NUM_THREADS"] = "1"

settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steady")
