"""The process that measures: `worker.py DEVICE THREADS`, one JSON request a line in, one JSON answer a line out.

It is run as a file, never as part of the package, so that in a peer's environment `softtorch` is the peer's. Requests:
{"do": "time", "call": ..., "budget": s, "clock": ...} answers {"seconds": ...}, the mean of as many repetitions as fit
the budget (one at least); {"do": "memory", "call": ...} answers {"bytes": ...}, how far the peak of this process rose.
"""

import json
import sys
import warnings

import operations
import torch

_STATUS = "/proc/self/status"


def main(device, threads):
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    ready = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = REQUESTS[request["do"]](ready, request, device)
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), flush=True)


def time_call(ready, request, device):
    """Repetitions are counted once for each call, from a first run that also warms it up."""
    key = json.dumps(request["call"], sort_keys=True)
    if key not in ready:
        while len(ready) > 2:  # a call of ours is compared with calls of torch, which are made here too
            ready.pop(next(iter(ready)))
        run = operations.prepared(request["call"], device)
        run()
        once = operations.timed(run, device, 1, request["clock"])
        ready[key] = run, max(1, int(request["budget"] / max(once, 1e-6)))
    run, repeats = ready[key]
    return {"seconds": operations.timed(run, device, repeats, request["clock"])}


def measure_memory(ready, request, device):
    """A small call first: what is loaded and cached once is not the operator's."""
    call = request["call"]
    operations.prepared(call, device, size=min(call["shape"][-1], 500))()
    x = operations.made_input(call, device)
    function, options = operations.resolve(call["function"]), call["options"]
    before = _restart(device)
    out = operations.first(function(x, **options))
    if call["backward"]:
        torch.autograd.grad(out, x, torch.ones((), device=out.device).expand(out.shape))
    operations.finish(device)
    return {"bytes": _peak(device) - before}


def _restart(device):
    """Bytes in use now; the peak is counted from here."""
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # sets the high-water mark back to what is in use
    return _status("VmRSS")


def _peak(device):
    return torch.cuda.max_memory_allocated() if device == "cuda" else _status("VmHWM")


def _status(field):
    with open(_STATUS) as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field))


REQUESTS = {"time": time_call, "memory": measure_memory}

if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
