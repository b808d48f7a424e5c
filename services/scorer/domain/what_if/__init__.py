"""What another event or another model would make of leads, and what a model is worth: asked beside the scoring."""
