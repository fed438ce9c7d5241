// The one translation unit that compiles Asio itself (toolchain.md section 2,
// BOOST_ASIO_SEPARATE_COMPILATION).
#include <boost/asio/impl/src.hpp>
