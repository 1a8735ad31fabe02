// A dialog over the page. While a factor is being shown again above it, Escape is about that and not about it.

import { Modal } from '@mantine/core';
import { type ReactNode, useSyncExternalStore } from 'react';
import { isAsking, onAsking } from '../api/stepUp';
import { useTranslation } from '../i18n';

interface DialogProps {
  opened: boolean;
  title: ReactNode;
  onClose: () => void;
  size?: 'lg';
  children: ReactNode;
}

export function Dialog({ opened, title, onClose, size, children }: DialogProps) {
  const { t } = useTranslation();
  const asking = useSyncExternalStore(onAsking, isAsking);
  return (
    <Modal
      opened={opened}
      onClose={onClose}
      title={title}
      size={size}
      closeOnEscape={!asking}
      closeButtonProps={{ 'aria-label': t('shell.close') }}
    >
      {children}
    </Modal>
  );
}
