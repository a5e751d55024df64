"""From a call of third-party code to a `Program`: the recorder is the road, the cross-checks are on request.

`recorder` runs the original once under a torch function mode and is right for every program that runs; `preserve` lets
it leave no trace, and `unreached` names what gets no gradient in the original. `frontends` chooses by name. The fx and
Dynamo tracers in `cross_check` can only agree, add an obstacle, or refuse.
"""
