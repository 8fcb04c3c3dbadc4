"""One file a command; `cogumi_core.cli.main` lists them."""
