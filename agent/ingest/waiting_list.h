#pragma once
#include <boost/intrusive/list.hpp>

namespace weir {

/// Who waits for the journal to get on (Journal::on_progress). On at most one list, which it leaves when it
/// is destroyed. Pipe thread only.
class Waiter
    : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  /// Look again; unlink() when there is nothing more to wait for.
  virtual void on_progress() = 0;

 protected:
  ~Waiter() = default;
};

/// Costs nothing for those that do not wait, and no allocation for those that do.
class WaitingList {
 public:
  /// Safe twice.
  void add(Waiter& waiter) {
    if (!waiter.is_linked()) list_.push_back(waiter);
  }
  /// The journal has got on. Everybody who waits now looks once, who goes on waiting included.
  void on_progress() {
    List now;
    now.swap(list_);
    while (!now.empty()) {
      Waiter& waiter = now.front();
      now.pop_front();
      list_.push_back(waiter);
      waiter.on_progress();
    }
  }

 private:
  using List = boost::intrusive::list<Waiter, boost::intrusive::constant_time_size<false>>;
  List list_;
};

}  // namespace weir
