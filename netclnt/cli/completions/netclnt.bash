# bash completion for netclnt, printed by: netclnt completion bash

_netclnt() {
    local kind value
    COMPREPLY=()
    while IFS=$'\t' read -r kind value; do
        case $kind in
            plain) COMPREPLY+=("$value") ;;
            part)
                COMPREPLY+=("$value")
                compopt -o nospace
                ;;
            file) compopt -o default ;;
            dir) compopt -o dirnames ;;
        esac
    done < <(_NETCLNT_COMPLETE=bash_complete _NETCLNT_LINE="${COMP_LINE:0:COMP_POINT}" _NETCLNT_PART="$2" "$1" 2>/dev/null)
}

complete -o nosort -F _netclnt netclnt
