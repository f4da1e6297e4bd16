"""``python -m palaver_server`` is the command ``palaver``."""

from palaver_server.cli import main

if __name__ == "__main__":
    main(prog_name="palaver")
