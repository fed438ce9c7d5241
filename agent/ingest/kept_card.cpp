#include "agent/ingest/kept_card.h"

#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <nlohmann/json.hpp>
#include <utility>

namespace weir {
namespace {

constexpr uint64_t kMagic = 0x3144524352494557;  // "WEIRCRD1"
constexpr size_t kBytes = 8192;                  // a hello has at most 4096
using Json = nlohmann::json;

std::string text_of(const KeptClient& client) {
  Json json{
      {"source", client.source},       {"uid", client.peer.uid ? Json(*client.peer.uid) : Json(nullptr)},
      {"pid", client.peer.pid},        {"address", client.peer.address},
      {"client_id", client.client_id}, {"service", client.service},
      {"level", int(client.level)},    {"frames", client.frames}};
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<KeptClient> client_of(std::string_view text) try {
  const Json json = Json::parse(text);
  KeptClient client;
  client.source = json.at("source"), client.client_id = json.at("client_id");
  client.service = json.at("service"), client.frames = json.at("frames");
  if (!json.at("uid").is_null()) client.peer.uid = json.at("uid").get<uid_t>();
  client.peer.pid = json.at("pid"), client.peer.address = json.at("address");
  const int level = json.at("level");
  if (level < 0 || level >= int(kAckLevelCount)) return std::nullopt;
  client.level = AckLevel(level);
  return client;
} catch (const Json::exception&) {
  return std::nullopt;
}

}  // namespace

KeptCard& KeptCard::operator=(KeptCard&& other) noexcept {
  std::swap(fd_, other.fd_), std::swap(client_, other.client_), std::swap(words_, other.words_);
  return *this;
}

KeptCard::~KeptCard() {
  if (words_) munmap(words_, kBytes);
}

bool KeptCard::map() {
  void* const at = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  if (at == MAP_FAILED) return false;
  words_ = static_cast<Words*>(at);
  return true;
}

std::optional<KeptCard> KeptCard::make(const KeptClient& client) {
  const std::string text = text_of(client);
  if (sizeof(Words) + text.size() > kBytes) return std::nullopt;
  KeptCard card;
  card.fd_ = ring::Descriptor(memfd_create("weir-card", MFD_CLOEXEC));
  if (card.fd_.get() < 0 || ftruncate(card.fd_.get(), kBytes) != 0 || !card.map()) return std::nullopt;
  card.client_ = client;
  card.words_->magic = kMagic, card.words_->text_bytes = text.size();
  std::memcpy(reinterpret_cast<char*>(card.words_ + 1), text.data(), text.size());
  return card;
}

std::optional<KeptCard> KeptCard::read(ring::Descriptor fd) {
  KeptCard card;
  card.fd_ = std::move(fd);
  struct stat st;
  if (fstat(card.fd_.get(), &st) != 0 || st.st_size != off_t(kBytes) || !card.map()) return std::nullopt;
  if (card.words_->magic != kMagic || card.words_->text_bytes > kBytes - sizeof(Words)) return std::nullopt;
  auto client = client_of({reinterpret_cast<const char*>(card.words_ + 1), card.words_->text_bytes});
  if (!client) return std::nullopt;
  card.client_ = std::move(*client);
  return card;
}

}  // namespace weir
