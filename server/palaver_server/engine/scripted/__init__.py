"""The engine without a model: answers by a script, at a pace and with faults that the operator sets."""
