"""The command `leadflow`: everything a person does with it."""

from services.command.main import main

if __name__ == "__main__":
    main()
