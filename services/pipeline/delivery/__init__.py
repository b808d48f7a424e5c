"""How one webhook is delivered: whom to connect to, how to sign, when to try again. No table is known here."""
