"""Whether a model tells winners from losers: scores as they stood at a moment against what came of the leads.

`observing` takes the observations, `discrimination`, `lift`, `thresholds`, `calibration` and `demand` answer one
question each about them, `report` asks all, `drawing` draws the answers. Every number carries an interval.
"""
