# fish completion for netclnt, printed by: netclnt completion fish

function __netclnt_complete
    set -l line (commandline -cp | string collect)
    for each in (env _NETCLNT_COMPLETE=fish_complete _NETCLNT_LINE=$line netclnt 2>/dev/null)
        set -l parts (string split -m 2 \t -- $each)
        switch $parts[1]
            case file dir
                set -l rest (string replace -- "$parts[2]" '' (commandline -ct))
                for path in (__fish_complete_path $rest)
                    printf '%s\n' $parts[2]$path
                end
            case '*'
                printf '%s\t%s\n' $parts[2] $parts[3]
        end
    end
end

complete --command netclnt --no-files --keep-order --arguments '(__netclnt_complete)'
