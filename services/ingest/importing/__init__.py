"""History from files: rows become events by a mapping, and go the way of every other event.

`values`, `moments`, `mapping` and `translation` are pure; `files`, `position`, `refusals` and `runner` do the work.
"""
