// PublishedWeights: converts parameters to the bytes that are sent, and back.
//
// The bytes have all parameters in layout order, in the run's data type, little-endian. They are the same as the data
// section of the checkpoint's model.safetensors. A version consists of these bytes, and its digest is the digest of
// these bytes.

package import Base
package import Tensors

/// The bytes of a policy version.
package func publishedBytes(of parameters: Floats, layout: TensorLayout, type: WeightType) -> [UInt8] {
  let writer = SafeTensorsWriter(layout, type: type)
  return parameters.withUnsafeBuffer { writer.data(UnsafeBufferPointer($0)) }
}

/// Calls `body` with the bytes of a policy version, a few megabytes at a time.
package func forEachPublishedPiece(
  of parameters: ParameterSource, layout: TensorLayout, type: WeightType, _ body: ([UInt8]) throws -> Void
) throws {
  let writer = SafeTensorsWriter(layout, type: type)
  let piece = 1 << 20
  for start in stride(from: 0, to: parameters.count, by: piece) {
    let values = parameters.values(start..<min(start + piece, parameters.count))
    try body(values.withUnsafeBuffer { writer.data(UnsafeBufferPointer($0)) })
  }
}

/// The parameters of a policy version.
///
/// - Returns: [layout.count], or nil if the number of bytes does not fit the layout and the data type.
package func parameters(
  ofPublished bytes: UnsafeRawBufferPointer, layout: TensorLayout, type: DataType
) -> Floats? {
  ParameterSource(published: bytes, layout: layout, type: type)?.values(0..<layout.count)
}

/// The same for bytes in an array.
package func parameters(ofPublished bytes: [UInt8], layout: TensorLayout, type: DataType) -> Floats? {
  bytes.withUnsafeBytes { parameters(ofPublished: $0, layout: layout, type: type) }
}
