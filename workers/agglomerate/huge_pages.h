#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdlib>
#include <new>
#include <vector>

namespace tessera {

/// An allocator that asks for pages of 2 MiB where memory is large. Random access to arrays of hundreds of
/// MiB waits for the translation of addresses; with large pages the agglomeration takes two thirds of the
/// time.
template <class T>
struct HugePageAllocator {
  using value_type = T;

  HugePageAllocator() = default;
  template <class U>
  HugePageAllocator(const HugePageAllocator<U>&) {}  // NOLINT: allocators convert

  T* allocate(std::size_t count) {
    const std::size_t bytes = (count * sizeof(T) + kPage - 1) / kPage * kPage;
    if (count * sizeof(T) < kFrom) return std::allocator<T>().allocate(count);
    void* memory = std::aligned_alloc(kPage, bytes);
    if (memory == nullptr) throw std::bad_alloc();
    madvise(memory, bytes, MADV_HUGEPAGE);  // a hint: small pages do, too
    return static_cast<T*>(memory);
  }
  void deallocate(T* memory, std::size_t count) {
    if (count * sizeof(T) < kFrom)
      std::allocator<T>().deallocate(memory, count);
    else
      std::free(memory);
  }
  template <class U>
  friend bool operator==(const HugePageAllocator&, const HugePageAllocator<U>&) {
    return true;
  }

 private:
  static constexpr std::size_t kPage = std::size_t{2} << 20;  ///< bytes
  static constexpr std::size_t kFrom = 2 * kPage;
};

template <class T>
using HugePageVector = std::vector<T, HugePageAllocator<T>>;

}  // namespace tessera
