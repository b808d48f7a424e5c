"""Every lead computed anew from its stored events, or verified."""
