#pragma once

#include <string>
#include <vector>

#include "workers/network/network_description.h"

namespace tessera {

/// The parameters whose layers match one of the patterns: wildcards over the layers' names, such as
/// `convs.[0-3]`, or `encoder` for all layers before the first up-convolution. In the order of tensors_of.
/// Errors: UsageError for a pattern that matches no layer with parameters.
std::vector<std::string> parameters_of_layers(const NetworkDescription& network,
                                              const std::vector<std::string>& patterns);

}  // namespace tessera
