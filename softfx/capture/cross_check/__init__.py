"""Cross-checks of the recorder: two tracers, fx and Dynamo, whose graphs are replayed and held against eager.

They are asked for with capture="fx" and capture="dynamo", and can only agree with the recorder, add an obstacle, or
refuse. Nothing outside this folder imports them but softfx.capture.frontends, on request; a test holds that fence.
"""
