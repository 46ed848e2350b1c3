"""In compose: build the simulated sky of the profile where it is missing, then serve it on the container's loopback."""

import os
import subprocess
import sys

from stellar.platform.supervisor import archive_build_command, archive_options, archive_serve_command
from stellar.settings import load_settings

PORT = 8090

settings = load_settings()
options = archive_options(settings)
if options is None:
    sys.exit(f"the profile {settings.profile} needs no archive")
subprocess.run(archive_build_command(settings, options), check=True)  # noqa: S603  our own command
serve = archive_serve_command(settings, PORT)
os.execv(serve[0], serve)  # noqa: S606  our own command
