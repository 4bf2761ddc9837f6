# Completes the command line of dkr in bash: dkr itself says what fits, and nothing else if it is silent.
_dkr() {
    COMPREPLY=()
    local found
    # bash replaces what follows the last of COMP_WORDBREAKS, such as the `:` in a tag; that is $2.
    while IFS= read -r found; do
        COMPREPLY+=("$found")
    done < <(command dkr complete bash -- "${COMP_LINE:0:COMP_POINT}" "$2" 2>/dev/null)
    # Below a folder there is more to come.
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == */ ]]; then
        compopt -o nospace 2>/dev/null
    fi
    return 0
}
complete -o nosort -F _dkr dkr 2>/dev/null || complete -F _dkr dkr
