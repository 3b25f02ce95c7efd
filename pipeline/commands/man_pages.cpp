#include "pipeline/commands/man_pages.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sstream>

#include "pipeline/commands/verbs.h"
#include "pipeline/config/key_help.h"
#include "pipeline/run/run_folder.h"

namespace tessera {
namespace {

/// Plain text as roff: no character has a meaning of its own.
std::string roff(const std::string& text) {
  std::string safe;
  bool line_begins = true;
  for (const char c : text) {
    if (line_begins && (c == '.' || c == '\'')) safe += "\\&";
    if (c == '\\')
      safe += "\\e";
    else if (c == '-')
      safe += "\\-";
    else
      safe += c;
    line_begins = c == '\n';
  }
  return safe;
}

/// "Trains a network." as the summary of a page: "trains a network".
std::string summary(std::string effect) {
  if (!effect.empty() && effect.back() == '.') effect.pop_back();
  if (!effect.empty() && effect[0] >= 'A' && effect[0] <= 'Z')
    effect[0] = static_cast<char>(effect[0] - 'A' + 'a');
  return effect;
}

std::string man_heading(const std::string& name, int section, const std::string& effect) {
  std::string upper = name;
  for (char& c : upper)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return fmt::format(".TH {} {} \"\" \"Tessera {}\" \"Tessera\"\n.SH NAME\n{} \\- {}\n", roff(upper), section,
                     tessera_version(), roff(name), roff(summary(effect)));
}

std::string literal(const std::string& text) {
  return fmt::format(".nf\n{}\n.fi\n", roff(text));
}

constexpr const char* kExitCodes =
    ".SH EXIT STATUS\n"
    ".TP\n0\ndone\n.TP\n1\nfailed\n.TP\n2\nwrong usage or a wrong experiment\n"
    ".TP\n75\nstopped early, by a signal or before the end of a job's time, with its state saved\n";

std::string options_text(const Verb& verb) {
  std::string text;
  const OptionTable table = verb.options();
  for (const auto& option : table.options()) {
    const bool takes_value = option->semantic()->max_tokens() > 0;
    text += fmt::format(".TP\n.B {}{}\n{}\n", roff("--" + option->long_name()),
                        takes_value ? " \\fI" + roff(option->format_parameter()) + "\\fR" : "",
                        roff(option->description()));
  }
  return text;
}

std::string verb_page(const Verb& verb) {
  std::string text = man_heading(fmt::format("tessera-{}", verb.name), 1, verb.effect);
  text += ".SH SYNOPSIS\n" + literal(verb.usage);
  text += fmt::format(".SH DESCRIPTION\n{}\nThe page {} of the documentation says more.\n", roff(verb.effect),
                      roff(verb.page));
  text += ".SH OPTIONS\n" + options_text(verb) + ".SH EXAMPLES\n";
  for (const Verb::Example& example : verb.examples)
    text += fmt::format(".TP\n.B {}\n{}\n", roff(example.command), roff(example.effect));
  return text + kExitCodes + ".SH SEE ALSO\n.BR tessera (1),\n.BR tessera\\-experiment (5)\n";
}

std::string program_page() {
  std::string text = man_heading("tessera", 1, "Seam-free U-Net segmentation of serial-section EM volumes.");
  text +=
      ".SH SYNOPSIS\n.B tessera\n.I VERB\n\\&... [\\fB\\-\\-log\\-level\\fR \\fILEVEL\\fR]\n.br\n"
      ".B mpirun \\-n\n.I N\n.B tessera\n.I VERB\n\\&...\n";
  text +=
      ".SH DESCRIPTION\n"
      "Tessera trains U\\-Nets on electron\\-microscopy sections and predicts whole serial\\-section stacks, "
      "on one\n"
      "process or on many ranks of MPI. An experiment is one YAML file,\n.BR tessera\\-experiment (5).\n"
      ".SH VERBS\n";
  std::string see = ".SH SEE ALSO\n.BR tessera\\-experiment (5)";
  for (const Verb& verb : verbs()) {
    text += fmt::format(".TP\n.B {}\n{}\n", roff(verb.name), roff(verb.effect));
    see += fmt::format(",\n.BR tessera\\-{} (1)", roff(verb.name));
  }
  return text + kExitCodes + see + "\n";
}

std::string experiment_page(const std::vector<KeyDescription>& keys) {
  std::string text = man_heading("tessera-experiment", 5, "The keys of an experiment file of Tessera.");
  text +=
      ".SH DESCRIPTION\n"
      "An experiment is one YAML file. Unknown keys and wrong values are errors. Each key can be overridden "
      "by\n"
      ".B \\-\\-set\n.IR key = value .\n"
      "Paths are relative to the folder that tessera is started in. Axes are (z, y, x).\n"
      ".SH KEYS\n";
  for (const KeyDescription& key : keys) {
    if (key.kind != KeyDescription::Kind::value) {
      text += fmt::format(".SS {}:\n{}\n", roff(key.name), roff(key.text));
      continue;
    }
    const std::string limits = key.range.empty() ? key.type : fmt::format("{}, {}", key.type, key.range);
    const std::string fallback =
        key.required_by.empty() ? "default: " + default_text(key) : default_text(key);
    text += fmt::format(".TP\n.B {}\n{}\n({}; {})\n", roff(key.name), roff(key.text), roff(limits),
                        roff(fallback));
  }
  return text + ".SH SEE ALSO\n.BR tessera (1)\n";
}

}  // namespace

std::map<std::string, std::string> man_pages(const std::vector<KeyDescription>& keys) {
  std::map<std::string, std::string> pages{{"tessera.1", program_page()},
                                           {"tessera-experiment.5", experiment_page(keys)}};
  for (const Verb& verb : verbs())
    pages[fmt::format("tessera-{}.1", verb.name)] = verb_page(verb);
  return pages;
}

}  // namespace tessera
