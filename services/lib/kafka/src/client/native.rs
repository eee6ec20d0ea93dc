//! The few calls of librdkafka that its Rust face lacks, or gets wrong.

use std::{ffi::CStr, os::raw::c_int, ptr, slice, time::Duration};

use rdkafka::{
    bindings as sys,
    message::BorrowedMessage,
    types::{RDKafka, RDKafkaRespErr},
};

/// Stands for a header's name that is not UTF-8.
pub(crate) const NOT_A_NAME: &str = "\u{fffd}";

/// The headers of `message`, in order.
///
/// The crate's own reader panics at a name that is not UTF-8, and whoever may write to an input
/// topic can write such a name; here it is read as [`NOT_A_NAME`].
pub(crate) fn headers<'m>(
    message: &'m BorrowedMessage<'_>,
) -> impl Iterator<Item = (&'m str, Option<&'m [u8]>)> {
    let mut list = ptr::null_mut();
    // SAFETY: `message` holds a live message; the list that is lent belongs to it.
    let error = unsafe { sys::rd_kafka_message_headers(message.ptr(), &mut list) };
    let has_headers = error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && !list.is_null();
    let mut index = 0;
    std::iter::from_fn(move || {
        if !has_headers {
            return None;
        }
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: `list` lives as long as `message`, which `'m` keeps borrowed.
        let error =
            unsafe { sys::rd_kafka_header_get_all(list, index, &mut name, &mut value, &mut size) };
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        index += 1;
        // SAFETY: the name ends with a zero byte; the value has `size` bytes, or is null.
        unsafe {
            let name: &'m CStr = CStr::from_ptr(name);
            let value: Option<&'m [u8]> =
                (!value.is_null()).then(|| slice::from_raw_parts(value.cast(), size));
            Some((name.to_str().unwrap_or(NOT_A_NAME), value))
        }
    })
}

/// Whether the consumer is a member of its group at this moment.
///
/// When the group has thrown it out, it knows no member id or generation, and a broker accepts a
/// transaction's offsets without any check if neither is given.
pub(crate) fn is_member(consumer: *mut RDKafka) -> bool {
    // SAFETY: the caller's consumer is alive; the metadata is destroyed below.
    unsafe {
        let metadata = sys::rd_kafka_consumer_group_metadata(consumer);
        if metadata.is_null() {
            return false;
        }
        let generation = sys::rd_kafka_consumer_group_metadata_generation_id(metadata);
        let member = sys::rd_kafka_consumer_group_metadata_member_id(metadata);
        let named = !member.is_null() && !CStr::from_ptr(member).is_empty();
        sys::rd_kafka_consumer_group_metadata_destroy(metadata);
        generation > 0 && named
    }
}

/// Waits until every record is acknowledged or has failed; says whether none is left.
///
/// Unlike the crate's `flush`, this sends without waiting for `linger.ms`, and returns at the
/// moment when the last record is done, not at the next multiple of 100 ms.
pub(crate) fn flush(producer: *mut RDKafka, timeout: Duration) -> bool {
    let timeout = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: the caller's producer is alive.
    let error = unsafe { sys::rd_kafka_flush(producer, timeout) };
    error == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR
}
