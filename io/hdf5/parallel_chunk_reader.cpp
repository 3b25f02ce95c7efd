#include "io/hdf5/parallel_chunk_reader.h"

#include <fmt/format.h>

#include <array>
#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>

#include "io/base/error.h"
#include "io/base/thread_group.h"
#include "io/hdf5/hdf5_handle.h"
#include "io/hdf5/hdf5_types.h"

namespace tessera {
namespace {

std::size_t chunk_bytes(const ChunkLayout& layout) {
  return static_cast<std::size_t>(volume_of(layout.chunk) * layout.chunk_channels * size_of(layout.type));
}

}  // namespace

bool ParallelChunkReader::can_read(hid_t dataset, VoxelType memory_type) {
  const std::string what = "cannot read the storage of a dataset";
  const Hdf5Handle type(check_hdf5(H5Dget_type(dataset), what), H5Tclose),
      list(check_hdf5(H5Dget_create_plist(dataset), what), H5Pclose);
  return H5Pget_layout(list.get()) == H5D_CHUNKED &&
         check_hdf5(H5Tequal(type.get(), hdf5_memory_type(memory_type)), what) > 0 &&
         check_hdf5(H5Pget_nfilters(list.get()), what) > 0 && ChunkDecoder::can_decode(list.get());
}

ParallelChunkReader::ParallelChunkReader(hid_t dataset, const ChunkLayout& layout, int threads)
    : dataset_(dataset),
      layout_(layout),
      decoder_(Hdf5Handle(H5Dget_create_plist(dataset), H5Pclose).get(), chunk_bytes(layout)),
      threads_(threads) {}

bool ParallelChunkReader::fetch(StoredChunk& chunk) {
  const std::array<hsize_t, 4> at{static_cast<hsize_t>(chunk.channel), static_cast<hsize_t>(chunk.begin.z),
                                  static_cast<hsize_t>(chunk.begin.y), static_cast<hsize_t>(chunk.begin.x)};
  const hsize_t* offset = at.data() + (4 - layout_.rank);
  hsize_t size = 0;
  // HDF5 1.10 also fails for a chunk that is not stored. Then the library reads the box, and says what is
  // wrong.
  if (H5Dget_chunk_storage_size(dataset_, offset, &size) < 0 || size == 0) {
    H5Eclear2(H5E_DEFAULT);
    return false;
  }
  chunk.bytes.resize(size);
  if (H5Dread_chunk(dataset_, H5P_DEFAULT, offset, &chunk.skipped_filters, chunk.bytes.data()) < 0) {
    throw Error(fmt::format("cannot read the chunk at {}: {} (is the file damaged or truncated?)",
                            to_string(chunk.begin), take_hdf5_error()));
  }
  return true;
}

void ParallelChunkReader::unpack(StoredChunk chunk, const Box& box, VoxelBuffer& buffer) const {
  std::vector<std::byte> values;
  try {
    values = decoder_.decode(std::move(chunk.bytes), chunk.skipped_filters);
  } catch (const Error& error) {
    throw Error(fmt::format("chunk at {}: {}", to_string(chunk.begin), error.what()));
  }
  const std::int64_t width = size_of(layout_.type);
  const Box part = intersection({chunk.begin, chunk.begin + layout_.chunk}, box);
  const Index3 from = part.begin - chunk.begin, to = part.begin - box.begin, shape = part.shape();
  const std::int64_t channels = std::min(layout_.chunk_channels, layout_.channels - chunk.channel);
  for (std::int64_t c = 0; c < channels; ++c) {
    for (std::int64_t z = 0; z < shape.z; ++z) {
      for (std::int64_t y = 0; y < shape.y; ++y) {
        const std::int64_t source =
            ((c * layout_.chunk.z + from.z + z) * layout_.chunk.y + from.y + y) * layout_.chunk.x + from.x;
        const std::int64_t target =
            (((chunk.channel + c) * buffer.shape.z + to.z + z) * buffer.shape.y + to.y + y) * buffer.shape.x +
            to.x;
        std::memcpy(buffer.bytes.data() + target * width, values.data() + source * width,
                    static_cast<std::size_t>(shape.x * width));
      }
    }
  }
}

/// Threads that decompress the chunks pushed, with room for a few chunks.
class ParallelChunkReader::Unpackers {
 public:
  Unpackers(int threads, std::function<void(StoredChunk)> unpack)
      : unpack_(std::move(unpack)),
        room_(2U * static_cast<unsigned>(threads)),
        threads_([this] { close(); }) {
    for (int i = 0; i < threads; ++i)
      threads_.start("to decompress chunks", [this] { work(); });
  }

  /// Waits for room.
  void push(StoredChunk chunk) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_.size() < room_ || error_; });
    if (error_) return;  // finish() throws it
    waiting_.push_back(std::move(chunk));
    changed_.notify_all();
  }
  /// Waits until all chunks are decompressed. Errors: the first of any thread.
  void finish() {
    threads_.join();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  void close() {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    changed_.notify_all();
  }
  void work() {
    for (;;) {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [this] { return !waiting_.empty() || closed_; });
      if (waiting_.empty()) return;
      StoredChunk chunk = std::move(waiting_.front());
      waiting_.pop_front();
      changed_.notify_all();
      lock.unlock();
      try {
        unpack_(std::move(chunk));
      } catch (...) {
        lock.lock();
        if (!error_) error_ = std::current_exception();
        changed_.notify_all();
      }
    }
  }

  std::function<void(StoredChunk)> unpack_;
  std::size_t room_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<StoredChunk> waiting_;
  bool closed_ = false;
  std::exception_ptr error_;
  ThreadGroup threads_;  // last: it ends before the other members
};

bool ParallelChunkReader::read(const Box& box, VoxelBuffer& buffer) {
  Unpackers unpackers(threads_, [&](StoredChunk chunk) { unpack(std::move(chunk), box, buffer); });
  const Index3& chunk = layout_.chunk;
  for (std::int64_t c = 0; c < layout_.channels; c += layout_.chunk_channels) {
    for (std::int64_t z = round_down(box.begin.z, chunk.z); z < box.end.z; z += chunk.z) {
      for (std::int64_t y = round_down(box.begin.y, chunk.y); y < box.end.y; y += chunk.y) {
        for (std::int64_t x = round_down(box.begin.x, chunk.x); x < box.end.x; x += chunk.x) {
          StoredChunk stored{{z, y, x}, c, 0, {}};
          if (!fetch(stored)) return false;
          unpackers.push(std::move(stored));
        }
      }
    }
  }
  unpackers.finish();
  return true;
}

}  // namespace tessera
