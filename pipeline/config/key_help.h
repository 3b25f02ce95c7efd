#pragma once

#include <optional>
#include <string>
#include <vector>

#include "pipeline/config/key_description.h"

namespace tessera {

/// Every key of an experiment, explained by the declarations that read it, in the order of reading.
std::vector<KeyDescription> known_keys();

/// The key or section of a name; null when there is none. Indices in the name count for nothing:
/// data.volumes[2].raw.
const KeyDescription* find_key(const std::vector<KeyDescription>& keys, const std::string& name);

/// The explanation of a key: text, type and range, default, an example, related keys, page of the
/// documentation.
std::string key_page(const KeyDescription& key, const std::vector<KeyDescription>& keys);
/// The text of a section and its keys, one a line, at most 100 characters wide.
std::string section_page(const KeyDescription& section, const std::vector<KeyDescription>& keys);
/// The sections of the file and its keys outside of them, as section_page().
std::string sections_page(const std::vector<KeyDescription>& keys);

/// configs/all_keys.yaml: an experiment with every key. Keys whose default is none, or follows
/// from other keys, are commented out, unless a verb requires them.
std::string all_keys_yaml(const std::vector<KeyDescription>& keys);

/// "at least 1", "one of a, b", "[z, y, x], voxels": what values a key may have; "" where the type says it
/// all.
std::string limits_text(const KeyDescription& key);
/// The default as a reader sees it: "4000", "none", "required by train".
std::string default_text(const KeyDescription& key);
/// The page of the documentation of a key: that of its section; "" without one.
std::string page_of_key(const KeyDescription& key, const std::vector<KeyDescription>& keys);

}  // namespace tessera
