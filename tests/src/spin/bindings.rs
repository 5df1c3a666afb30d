//! Bindings of Spin's own interfaces, generated from `wit`.

wasmtime::component::bindgen!({
    path: "wit",
    world: "spin",
    imports: {
        "spin:key-value/key-value": trappable,
        "spin:redis/redis": trappable,
        // The component awaits these, although the host need not.
        "wasi:keyvalue/atomics": async | trappable,
        "wasi:keyvalue/store": async | trappable,
    },
    with: {
        "spin:key-value/key-value.store": super::handles::Bucket,
        "spin:redis/redis.connection": super::redis::RedisConnection,
        "wasi:keyvalue/atomics.cas": super::handles::CasHandle,
        "wasi:keyvalue/store.bucket": super::handles::Bucket,
    },
});
