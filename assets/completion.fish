# Completes the command line of dkr in fish: dkr itself says what fits.
complete --command dkr --erase
complete --command dkr --no-files --keep-order --arguments '(command dkr complete fish -- (commandline -opc) (commandline -ct) 2>/dev/null)'
