#include "pipeline/run/next_step.h"

#include <fmt/format.h>

#include <cstdlib>
#include <iostream>
#include <string_view>

#include "pipeline/run/shell_text.h"

namespace tessera {

std::string command_text(const std::vector<std::string>& words, int ranks) {
  std::string text;
  if (ranks > 1 && std::getenv("OMPI_COMM_WORLD_SIZE") != nullptr) text = fmt::format("mpirun -n {} ", ranks);
  return text + "tessera " + shell_text(words);
}

std::vector<std::string> experiment_words(const std::string& verb,
                                          const boost::program_options::variables_map& values) {
  std::vector<std::string> words{verb};
  const char* file = values.count("experiment") != 0 ? "experiment" : "config";  // of check, of the others
  if (values.count(file) != 0) words.push_back(values[file].as<std::string>());
  if (values.count("set") != 0) {
    for (const std::string& one : values["set"].as<std::vector<std::string>>())
      words.insert(words.end(), {"--set", one});
  }
  return words;
}

void tell_next(const std::string& what) {
  const char *job = std::getenv("TESSERA_END_FILE"), *wanted = std::getenv("TESSERA_NEXT");
  if ((job != nullptr && *job != 0) || (wanted != nullptr && std::string_view(wanted) == "0")) return;
  std::cout << "next: " << what << "\n" << std::flush;
}

}  // namespace tessera
