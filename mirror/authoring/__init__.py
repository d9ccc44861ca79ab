"""Operations on plugins: inspect, tag, derive, pack, unpack, and capture from an engine."""
