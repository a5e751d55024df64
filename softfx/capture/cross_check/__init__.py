"""Frontends that check the recorder: dynamo, fx, and the replay that both share."""
