//! Frames to a compressed stream and back.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use sceneshift::wire::{Frame, StreamReader, StreamWriter};

use crate::estate::manifest;

fn write(frames: &[Frame]) -> Vec<u8> {
    let mut writer = StreamWriter::new(Vec::new()).unwrap();
    frames.iter().for_each(|frame| writer.write(frame).unwrap());
    writer.finish().unwrap()
}

fn read(bytes: &[u8]) -> usize {
    let mut reader = StreamReader::new(bytes).unwrap();
    std::iter::from_fn(|| reader.next_frame().unwrap()).count()
}

pub(crate) fn blobs(criterion: &mut Criterion) {
    let frames: Vec<Frame> = (0..500).map(|at| Frame::Blob(manifest(at / 25, at % 25).into_bytes())).collect();
    let size =
        frames.iter().map(|frame| if let Frame::Blob(content) = frame { content.len() } else { 0 }).sum::<usize>();
    let bytes = write(&frames);
    println!("500 manifests of {size} bytes in all are {} bytes as a stream", bytes.len());
    let mut group = criterion.benchmark_group("stream, 500 manifests");
    group.throughput(Throughput::Bytes(size as u64));
    group.bench_function("write", |bencher| bencher.iter(|| write(black_box(&frames))));
    group.bench_function("read", |bencher| bencher.iter(|| assert_eq!(read(black_box(&bytes)), frames.len())));
    group.finish();
}
