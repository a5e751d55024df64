"""Replay: a run that makes the same calls as one before is made without interpreting them again.

What the interpreter does with a call follows from the call, from the metadata of tensors and from what it did before,
and not from the elements of tensors. So a run is recorded (`recording`): for each call of the program the calls that
the interpreter made of it, and what it remembered. From that a function is written for each call (`writing`), which
checks that the program's call is the one that was recorded, makes the recorded calls on the tensors of the present run,
and remembers the same of them. While the program makes the calls of the recording, its run goes by these functions
(`replaying`); at the first that differs it goes on under the interpreter, which finds everything as it would have left
it. `tapes` keeps the recordings of one softened target and says when to make and to drop one.

A call is left to the interpreter, at its place in the recording, where more than that happens: writes to memory on
which others lie beside shadows, switches of the grad mode, numbers that are measured. A call that writes is made by the
recording where what else lies in that memory is known: the run has made it, or no other tensor holds it.
"""
