#include "sioctl/completion.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "sioctl/command_line.h"

namespace sio::sioctl {

namespace {

constexpr Argument help_option{"-h,--help", Times::flag, "", "how to use it"};

std::string joined(const std::vector<std::string>& words, std::string_view separator) {
    std::string out;
    for (const std::string& word : words) {
        if (!out.empty()) out += separator;
        out += word;
    }
    return out;
}

/// `a|b` as `a b`.
std::string with_blanks(std::string_view choices) {
    std::string out{choices};
    std::replace(out.begin(), out.end(), '|', ' ');
    return out;
}

bool are_words(const Argument& argument) { return !argument.choices.empty() && argument.choices.front() != '@'; }

/// The first word of a command of two, and the second; the second is empty for others.
std::pair<std::string_view, std::string_view> split_words(const Command& command) {
    const std::size_t blank = command.words.find(' ');
    if (blank == std::string_view::npos) return {command.words, {}};
    return {command.words.substr(0, blank), command.words.substr(blank + 1)};
}

std::vector<Argument> options_with_globals(const Command& command) {
    std::vector<Argument> options = command.options;
    options.insert(options.end(), global_options().begin(), global_options().end());
    options.push_back(help_option);
    return options;
}

/// First words in the order of the table, each once, with a sentence.
std::vector<std::pair<std::string_view, std::string_view>> first_words() {
    std::vector<std::pair<std::string_view, std::string_view>> words;
    for (const Command& command : commands()) {
        const auto [first, second] = split_words(command);
        if (second.empty())
            words.emplace_back(first, command.sentence);
        else if (words.empty() || words.back().first != first)  // those of a group stand together
            words.emplace_back(first, find_group(first)->sentence);
    }
    return words;
}

/// The second words of a group's commands.
std::vector<std::string> seconds_of(const Group& group) {
    std::vector<std::string> words;
    for (const Command& command : commands()) {
        const auto [first, second] = split_words(command);
        if (first == group.word && !second.empty()) words.emplace_back(second);
    }
    return words;
}

std::string group_words(std::string_view separator) {
    std::vector<std::string> words;
    for (const Group& group : groups()) words.emplace_back(group.word);
    return joined(words, separator);
}

// ---- bash ----

/// `a|b)`, the pattern of an option's names.
std::string bash_pattern(std::string_view words, const Argument& option) {
    std::string pattern = "'" + std::string(words) + " " + std::string(long_name(option)) + "'";
    if (!short_name(option).empty()) pattern += "|'" + std::string(words) + " " + std::string(short_name(option)) + "'";
    return pattern;
}

std::string bash_reply(const Argument& argument) {
    if (argument.choices == "@file") return "COMPREPLY=($(compgen -f -- \"$cur\"))";
    if (are_words(argument)) return "COMPREPLY=($(compgen -W '" + with_blanks(argument.choices) + "' -- \"$cur\"))";
    return "COMPREPLY=()";
}

std::string bash_script() {
    std::ostringstream out;
    std::vector<std::string> words;
    for (const auto& [word, sentence] : first_words()) words.emplace_back(word);
    std::vector<std::string> before{"--help", "--version", "-h"};
    std::string skipped;
    for (const Argument& option : global_options()) {
        for (const std::string_view name : {long_name(option), short_name(option)}) {
            if (name.empty()) continue;
            before.emplace_back(name);
            if (option.times != Times::flag) skipped += (skipped.empty() ? "" : "|") + std::string(name);
        }
    }
    std::sort(before.begin(), before.end());
    out << "# bash completion for sioctl\n"
           "_sioctl() {\n"
           "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} command='' word i skip=''\n"
           "    COMPREPLY=()\n"
           "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
           "        word=${COMP_WORDS[i]}\n"
           "        if [[ -n $skip ]]; then skip=''; continue; fi\n"
           "        case $word in\n"
           "            "
        << skipped
        << ") skip=1 ;;\n"
           "            -*) ;;\n"
           "            *)\n"
           "                if [[ -z $command ]]; then command=$word\n"
           "                elif [[ $command == @("
        << group_words("|")
        << ") ]]; then command=\"$command $word\"; break\n"
           "                else break; fi ;;\n"
           "        esac\n"
           "    done\n"
           "    case \"$command $prev\" in\n";
    for (const Argument& option : global_options()) {
        if (option.times == Times::flag) continue;
        out << "        *' " << long_name(option) << "'";
        if (!short_name(option).empty()) out << "|*' " << short_name(option) << "'";
        out << ") " << bash_reply(option) << "; return ;;\n";
    }
    for (const Command& command : commands()) {
        for (const Argument& option : command.options) {
            if (option.times == Times::flag) continue;
            out << "        " << bash_pattern(command.words, option) << ") " << bash_reply(option) << "; return ;;\n";
        }
    }
    out << "    esac\n"
           "    case $command in\n"
           "        '')\n"
           "            if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W '"
        << joined(before, " ")
        << "' -- \"$cur\"))\n"
           "            else COMPREPLY=($(compgen -W '"
        << joined(words, " ") << "' -- \"$cur\")); fi ;;\n";
    for (const Group& group : groups()) {
        out << "        " << group.word << ") COMPREPLY=($(compgen -W '" << joined(seconds_of(group), " ")
            << "' -- \"$cur\")) ;;\n";
    }
    for (const Command& command : commands()) {
        out << "        '" << command.words
            << "')\n"
               "            if [[ $cur == -* ]]; then COMPREPLY=($(compgen -W '"
            << joined(offered_options(command), " ") << "' -- \"$cur\"))\n";
        for (const Argument& argument : command.arguments) {
            if (argument.choices.empty()) continue;
            out << "            else " << bash_reply(argument) << "\n";
            break;
        }
        if (command.takes_command) out << "            else COMPREPLY=($(compgen -c -- \"$cur\"))\n";
        out << "            fi ;;\n";
    }
    out << "    esac\n"
           "}\n"
           "complete -o filenames -F _sioctl sioctl\n";
    return out.str();
}

// ---- zsh ----

/// A sentence inside single quotes and brackets.
std::string zsh_text(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (c == '\'') {
            out += "'\\''";
            continue;
        }
        if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
        out += c;
    }
    return out;
}

std::string zsh_action(const Argument& argument) {
    if (argument.choices == "@file") return "_files";
    if (are_words(argument)) return "(" + with_blanks(argument.choices) + ")";
    return " ";
}

std::string zsh_option(const Argument& option) {
    const std::string sentence = "[" + zsh_text(option.sentence) + "]";
    const bool repeats = option.times == Times::many || option.times == Times::group;
    std::string value;
    if (option.times != Times::flag) value = ":" + zsh_text(option.value) + ":" + zsh_action(option);
    const std::string equals = option.times == Times::flag ? "" : "=";
    const std::string name = std::string(long_name(option)) + equals;
    if (short_name(option).empty()) return "'" + std::string(repeats ? "*" : "") + name + sentence + value + "'";
    return "'(" + std::string(short_name(option)) + " " + std::string(long_name(option)) + ")'{" +
           std::string(short_name(option)) + "," + name + "}'" + sentence + value + "'";
}

void zsh_arguments(std::ostringstream& out, const Command& command, std::string_view indent) {
    out << indent << "_arguments -s \\\n";
    for (const Argument& option : options_with_globals(command))
        out << indent << "    " << zsh_option(option) << " \\\n";
    int position = 1;
    for (const Argument& argument : command.arguments) {
        const bool repeats = argument.times == Times::many || argument.times == Times::at_least_once;
        out << indent << "    '" << (repeats ? "*" : std::to_string(position)) << ":" << zsh_text(argument.name) << ":"
            << zsh_action(argument) << "' \\\n";
        ++position;
    }
    if (command.takes_command) out << indent << "    '*:command:_command_names -e' \\\n";
    out << indent << "    && return\n";
}

void zsh_group(std::ostringstream& out, const Group& group) {
    out << "                " << group.word
        << ")\n"
           "                    if ((CURRENT == 2)); then\n"
           "                        words_known=(\n";
    for (const Command& command : commands()) {
        if (const auto [first, second] = split_words(command); first == group.word && !second.empty())
            out << "                            '" << second << ":" << zsh_text(command.sentence) << "'\n";
    }
    out << "                        )\n"
           "                        _describe command words_known\n"
           "                        return\n"
           "                    fi\n"
           "                    shift words\n"
           "                    ((CURRENT--))\n"
           "                    case $words[1] in\n";
    for (const Command& command : commands()) {
        const auto [first, second] = split_words(command);
        if (first != group.word || second.empty()) continue;
        out << "                        " << second << ")\n";
        zsh_arguments(out, command, "                            ");
        out << "                            ;;\n";
    }
    out << "                    esac ;;\n";
}

std::string zsh_script() {
    std::ostringstream out;
    out << "#compdef sioctl\n"
           "# zsh completion for sioctl\n"
           "_sioctl() {\n"
           "    local curcontext=$curcontext state line\n"
           "    local -a words_known\n"
           "    typeset -A opt_args\n"
           "    _arguments -C \\\n";
    for (const Argument& option : global_options()) out << "        " << zsh_option(option) << " \\\n";
    out << "        " << zsh_option(help_option)
        << " \\\n"
           "        '--version[which version this is]' \\\n"
           "        '1:command:->command' '*::argument:->argument' && return\n"
           "    case $state in\n"
           "        command)\n"
           "            words_known=(\n";
    for (const auto& [word, sentence] : first_words())
        out << "                '" << word << ":" << zsh_text(sentence) << "'\n";
    out << "            )\n"
           "            _describe command words_known ;;\n"
           "        argument)\n"
           "            case $line[1] in\n";
    for (const Command& command : commands()) {
        if (!split_words(command).second.empty()) continue;
        out << "                " << command.words << ")\n";
        zsh_arguments(out, command, "                    ");
        out << "                    ;;\n";
    }
    for (const Group& group : groups()) zsh_group(out, group);
    out << "            esac ;;\n"
           "    esac\n"
           "}\n"
           "if [[ $funcstack[1] == _sioctl ]]; then _sioctl \"$@\"; else compdef _sioctl sioctl; fi\n";
    return out.str();
}

// ---- fish ----

std::string fish_text(std::string_view text) {
    std::string out = "'";
    for (const char c : text) {
        if (c == '\'' || c == '\\') out += '\\';
        out += c;
    }
    return out + "'";
}

void fish_option(std::ostringstream& out, std::string_view condition, const Argument& option) {
    out << "complete -c sioctl";
    if (!condition.empty()) out << " -n " << fish_text(condition);
    if (!short_name(option).empty()) out << " -s " << short_name(option).substr(1);
    out << " -l " << long_name(option).substr(2);
    if (option.choices == "@file") {
        out << " -r -F";
    } else if (option.times != Times::flag) {
        out << " -x";
        if (are_words(option)) out << " -a " << fish_text(with_blanks(option.choices));
    }
    out << " -d " << fish_text(option.sentence) << "\n";
}

std::string fish_script() {
    std::ostringstream out;
    out << "# fish completion for sioctl\ncomplete -c sioctl -f\n";
    for (const Argument& option : global_options()) fish_option(out, "", option);
    fish_option(out, "", help_option);
    fish_option(out, "__fish_use_subcommand", {"--version", Times::flag, "", "which version this is"});
    for (const auto& [word, sentence] : first_words())
        out << "complete -c sioctl -n __fish_use_subcommand -a " << word << " -d " << fish_text(sentence) << "\n";
    for (const Command& command : commands()) {
        const auto [first, second] = split_words(command);
        std::string condition = "__fish_seen_subcommand_from " + std::string(first);
        if (!second.empty()) {
            const std::string seconds = joined(seconds_of(*find_group(first)), " ");
            out << "complete -c sioctl -n " << fish_text(condition + "; and not __fish_seen_subcommand_from " + seconds)
                << " -a " << second << " -d " << fish_text(command.sentence) << "\n";
            condition += "; and __fish_seen_subcommand_from " + std::string(second);
        }
        for (const Argument& option : command.options) fish_option(out, condition, option);
        for (const Argument& argument : command.arguments) {
            if (argument.choices == "@file")
                out << "complete -c sioctl -n " << fish_text(condition) << " -F\n";
            else if (are_words(argument))
                out << "complete -c sioctl -n " << fish_text(condition) << " -a "
                    << fish_text(with_blanks(argument.choices)) << "\n";
        }
    }
    return out.str();
}

}  // namespace

std::vector<std::string> offered_options(const Command& command) {
    std::vector<std::string> names;
    for (const Argument& option : options_with_globals(command)) {
        names.emplace_back(long_name(option));
        if (!short_name(option).empty()) names.emplace_back(short_name(option));
    }
    std::sort(names.begin(), names.end());
    return names;
}

std::string completion_script(std::string_view shell) {
    if (shell == "bash") return bash_script();
    if (shell == "zsh") return zsh_script();
    return fish_script();
}

int run_completion(const Invocation& invocation) {
    Output out;
    std::string script = completion_script(invocation.one("SHELL"));
    script.pop_back();
    out.line(script);
    return exit_code::ok;
}

}  // namespace sio::sioctl
