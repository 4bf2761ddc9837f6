#compdef dkr
# Completes the command line of dkr in zsh: dkr itself says what fits.
_dkr() {
    local found
    local -a folders others
    for found in ${(f)"$(command dkr complete zsh -- "${(@Q)words[1,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)"}; do
        case $found in
        */) folders+=("${found%/}") ;;
        *) others+=("$found") ;;
        esac
    done
    local nothing=1
    (( $#others )) && _describe -V 'dkr' others && nothing=0
    # Below a folder there is more to come.
    (( $#folders )) && _describe -V 'folder' folders -S / -r / && nothing=0
    return nothing
}
# Sourced, or in a file of `fpath`, which zsh calls.
if [[ ${funcstack[1]} == _dkr ]]; then
    _dkr "$@"
else
    compdef _dkr dkr
fi
