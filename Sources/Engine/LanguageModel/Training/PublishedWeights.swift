// PublishedWeights: parameters as the bytes that travel, and back.
//
// All parameters in layout order, in the run's data type, little-endian: the data section of the checkpoint's
// model.safetensors. A version is these bytes; its digest is theirs.

package import Base
package import Tensors

/// The bytes of a policy version.
package func publishedBytes(of parameters: Floats, layout: ParameterLayout, type: WeightType) -> [UInt8] {
  let writer = SafeTensorsWriter(layout, type: type)
  return parameters.withUnsafeBuffer { writer.data(UnsafeBufferPointer($0)) }
}

/// The parameters of a policy version.
///
/// - Returns: [layout.count], or nil if the bytes are not as many as the layout has parameters.
package func parameters(ofPublished bytes: [UInt8], layout: ParameterLayout, type: DataType) -> Floats? {
  guard bytes.count == layout.count * type.bytes else { return nil }
  let parameters = Floats(count: layout.count)
  bytes.withUnsafeBytes { source in
    parameters.withUnsafeBuffer { target in
      switch type {
      case .float32: UnsafeMutableRawBufferPointer(target).copyMemory(from: source)
      case .bfloat16:
        for index in target.indices {
          let bits = source.loadUnaligned(fromByteOffset: 2 * index, as: UInt16.self)
          target[index] = Float(bitPattern: UInt32(bits) << 16)
        }
      }
    }
  }
  return parameters
}
