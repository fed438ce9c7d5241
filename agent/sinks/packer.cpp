#include "agent/sinks/packer.h"

#include <zlib.h>
#include <zstd.h>

#include <array>

namespace weir {
namespace {

constexpr int kZstdLevel = 3, kGzipLevel = 6;
constexpr size_t kOutputBytes = 128 << 10;

class ZstdPacker final : public Packer {
 public:
  ZstdPacker() : stream_(ZSTD_createCCtx(), ZSTD_freeCCtx) {
    if (!stream_) return;
    ZSTD_CCtx_setParameter(stream_.get(), ZSTD_c_compressionLevel, kZstdLevel);
    ZSTD_CCtx_setParameter(stream_.get(), ZSTD_c_checksumFlag, 1);
  }
  bool usable() const { return stream_ != nullptr; }

  bool feed(std::string_view bytes, bool last, const Output& output) override {
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    for (;;) {
      ZSTD_outBuffer out{buffer_.data(), buffer_.size(), 0};
      const size_t left = ZSTD_compressStream2(stream_.get(), &out, &in, last ? ZSTD_e_end : ZSTD_e_continue);
      if (ZSTD_isError(left)) return false;
      if (out.pos > 0 && !output({buffer_.data(), out.pos})) return false;
      if (last ? left == 0 : in.pos == in.size) return true;
    }
  }

 private:
  std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> stream_;
  std::array<char, kOutputBytes> buffer_;
};

class GzipPacker final : public Packer {
 public:
  GzipPacker() {
    constexpr int window_bits = 15 + 16;  // 16: with the head and sum of gzip
    usable_ = deflateInit2(&stream_, kGzipLevel, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY) == Z_OK;
  }
  ~GzipPacker() override {
    if (usable_) deflateEnd(&stream_);
  }
  bool usable() const { return usable_; }

  bool feed(std::string_view bytes, bool last, const Output& output) override {
    stream_.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
    stream_.avail_in = uInt(bytes.size());
    for (;;) {
      stream_.next_out = reinterpret_cast<Bytef*>(buffer_.data());
      stream_.avail_out = uInt(buffer_.size());
      const int result = deflate(&stream_, last ? Z_FINISH : Z_NO_FLUSH);
      if (result == Z_STREAM_ERROR) return false;
      const size_t bytes_out = buffer_.size() - stream_.avail_out;
      if (bytes_out > 0 && !output({buffer_.data(), bytes_out})) return false;
      if (last ? result == Z_STREAM_END : stream_.avail_in == 0 && stream_.avail_out > 0) return true;
    }
  }

 private:
  z_stream stream_{};
  bool usable_ = false;
  std::array<char, kOutputBytes> buffer_;
};

template <class T>
std::unique_ptr<Packer> usable_or_null() {
  auto packer = std::make_unique<T>();
  if (!packer->usable()) return nullptr;
  return packer;
}

}  // namespace

std::unique_ptr<Packer> make_packer(Packing packing) {
  return packing == Packing::zstd ? usable_or_null<ZstdPacker>() : usable_or_null<GzipPacker>();
}

}  // namespace weir
