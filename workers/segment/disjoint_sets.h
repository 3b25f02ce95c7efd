#pragma once

#include <cstdint>
#include <span>

namespace tessera {

/// Union-find over an array in which the parent of every node is a node of at most its number. So the root of
/// a set is its smallest node.
template <class Node>
class DisjointSets {
 public:
  /// `parent` belongs to the caller.
  explicit DisjointSets(std::span<Node> parent) : parent_(parent) {}

  Node find(Node node) {
    while (parent_[node] != node) {
      parent_[node] = parent_[parent_[node]];
      node = parent_[node];
    }
    return node;
  }
  /// Returns the root of both.
  Node unite(Node a, Node b) {
    a = find(a);
    b = find(b);
    if (a == b) return a;
    const Node low = a < b ? a : b;
    parent_[a < b ? b : a] = low;
    return low;
  }

 private:
  std::span<Node> parent_;
};

}  // namespace tessera
