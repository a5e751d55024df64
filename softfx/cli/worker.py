"""The main module of a process that a script under `softfx run` starts by spawning.

multiprocessing runs the parent's main module again in such a process, so that what is pickled can be found. Here that
is this module, which softens the same parts there and then is the script.
"""

from softfx.cli import script

if __name__ == "__mp_main__":
    script.run_in_worker(globals())
