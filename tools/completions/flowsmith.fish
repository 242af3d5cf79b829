# Completion of flowsmith for fish: tools, their options, and files.
function __flowsmith_options
    set -l words (commandline -opc)
    flowsmith $words[2] --completions 2>/dev/null
end
complete -c flowsmith -n "test (count (commandline -opc)) -eq 1" -f -a "(flowsmith --completions 2>/dev/null)"
complete -c flowsmith -n "test (count (commandline -opc)) -gt 1; and string match -q -- '-*' (commandline -ct)" -a "(__flowsmith_options)"
