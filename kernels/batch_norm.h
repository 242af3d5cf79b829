// Batch normalisation per channel (Ioffe, Szegedy 2015), inside networks and as a layer of a flow (RealNVP: Dinh et al.
// 2017, section 3.7 and appendix E).
//
//   mean[k] = sum over n,y,x of x / m, var[k] = sum over n,y,x of (x - mean)^2 / m, with m = n*h*w
//   rstd = 1 / sqrt(var + eps), xh = (x - mean) * rstd
//   in a network  y = act(xh * gamma[k] + beta[k])
//   in a flow     y = xh                            logdet += h*w * sum_k log rstd
//
// Two steps, so that one kernel normalises by whatever statistics it is given: batch_moments finds mean and var of a
// batch, batch_norm applies them, or the running ones in evaluation.
//
// gamma, beta and act (activation.h) belong to networks, where each saves passes over the map; a flow has none of them:
// gamma and beta are null and act is kNone. There a gamma of 0 or below would be no bijection, so what learns a scale
// behind the layer is channel_affine, whose scale is an exponential. logdet is null in a network.
//
// Statistics are double: there are few of them. Each element is computed in double and rounded once, before act.
#pragma once

#include "kernels/activation.h"

namespace flowsmith::core {

inline constexpr double kBatchNormEps = 1e-5;

/// mean, var (c) of x (n,h,w,c), at least one pixel. Sums have a fixed order; var is never below 0, and exactly 0 in a
/// channel of one value.
template <class T>
void batch_moments(double* mean, double* var, const T* x, MapShape shape, Reference);
template <class T>
void batch_moments(double* mean, double* var, const T* x, MapShape shape, Cpu);
template <class T, Gpu G>
void batch_moments(double* mean, double* var, const T* x, MapShape shape, G gpu);

/// y, x (n,h,w,c), logdet (n) accumulated, mean, var, gamma, beta (c); gamma, beta and logdet may be null, gamma and
/// beta together. y may be x itself.
template <class T>
void batch_norm_forward(T* y, double* logdet, const T* x, const double* mean, const double* var, const T* gamma,
                        const T* beta, double eps, Activation activation, MapShape shape, Reference);
template <class T>
void batch_norm_forward(T* y, double* logdet, const T* x, const double* mean, const double* var, const T* gamma,
                        const T* beta, double eps, Activation activation, MapShape shape, Cpu);
template <class T, Gpu G>
void batch_norm_forward(T* y, double* logdet, const T* x, const double* mean, const double* var, const T* gamma,
                        const T* beta, double eps, Activation activation, MapShape shape, G gpu);

/// The flow's inverse for the statistics of the forward direction: x = y * sqrt(var + eps) + mean, logdet -= h*w *
/// sum_k log rstd. logdet may be null; x may be y itself.
template <class T>
void batch_norm_inverse(T* x, double* logdet, const T* y, const double* mean, const double* var, double eps,
                        MapShape shape, Reference);
template <class T>
void batch_norm_inverse(T* x, double* logdet, const T* y, const double* mean, const double* var, double eps,
                        MapShape shape, Cpu);
template <class T, Gpu G>
void batch_norm_inverse(T* x, double* logdet, const T* y, const double* mean, const double* var, double eps,
                        MapShape shape, G gpu);

/// Where the statistics of a batch_norm_forward came from.
enum class NormStatistics {
  kOfBatch,  ///< batch_moments(x): they depend on every element of x
  kFixed,    ///< constants
};

/// Gradients of batch_norm_forward. With d = dy * act', g = d*gamma and sums over n,y,x:
///   kFixed    dx = rstd * g
///   kOfBatch  dx = rstd * (g - sum(g)/m - xh * (sum(g*xh)/m + sum_n(dlogdet)/n)),
///             the gradient through mean and var included, also through what var adds to logdet
///   dgamma[k] = sum(d*xh), dbeta[k] = sum(d)
/// act' is that of activation.h at y, which is computed from x again: x is read anyway. Sums are in double and in a
/// fixed order. gamma and beta are null where they were in forward, dlogdet where logdet was. dx may overwrite dy
/// itself.
template <class T>
void batch_norm_backward(Grad<T> dx, Grad<T> dgamma, Grad<T> dbeta, const T* dy, const double* dlogdet, const T* x,
                         const double* mean, const double* var, const T* gamma, const T* beta, double eps,
                         Activation activation, NormStatistics statistics, MapShape shape, Reference);
template <class T>
void batch_norm_backward(Grad<T> dx, Grad<T> dgamma, Grad<T> dbeta, const T* dy, const double* dlogdet, const T* x,
                         const double* mean, const double* var, const T* gamma, const T* beta, double eps,
                         Activation activation, NormStatistics statistics, MapShape shape, Cpu);
template <class T, Gpu G>
void batch_norm_backward(Grad<T> dx, Grad<T> dgamma, Grad<T> dbeta, const T* dy, const double* dlogdet, const T* x,
                         const double* mean, const double* var, const T* gamma, const T* beta, double eps,
                         Activation activation, NormStatistics statistics, MapShape shape, G gpu);

/// What evaluation uses, after a step on a batch of m = count > 1 values per channel (Ioffe, Szegedy 2015, algorithm
/// 2):
///   running_mean = (1 - momentum) * running_mean + momentum * batch_mean
///   running_var  = (1 - momentum) * running_var  + momentum * batch_var * m/(m-1)
/// m/(m-1) takes out what the batch's own mean costs: batch_var is that much too small in expectation, and evaluation
/// asks for the variance of the data, not of a batch. All of shape (c). Writes nothing if *loss or *squared_norm is not
/// finite, for then Adam takes no step either (kernels/optimizer.h).
void update_running(double* running_mean, double* running_var, const double* batch_mean, const double* batch_var, int c,
                    std::size_t count, double momentum, const double* loss, const double* squared_norm, Reference);
void update_running(double* running_mean, double* running_var, const double* batch_mean, const double* batch_var, int c,
                    std::size_t count, double momentum, const double* loss, const double* squared_norm, Cpu);
template <Gpu G>
void update_running(double* running_mean, double* running_var, const double* batch_mean, const double* batch_var, int c,
                    std::size_t count, double momentum, const double* loss, const double* squared_norm, G gpu);

}  // namespace flowsmith::core
