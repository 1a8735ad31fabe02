// The calendar of the date control, in its own chunk: most visits never open it.

import { DatePicker, DatesProvider } from '@mantine/dates';
import { useTranslation } from '../i18n';
import 'dayjs/locale/es';
import 'dayjs/locale/it';
import '@mantine/dates/styles.css';

interface CalendarProps {
  dates: [string | null, string | null];
  onChange: (dates: [string | null, string | null]) => void;
}

export default function Calendar({ dates, onChange }: CalendarProps) {
  const { t, language } = useTranslation();
  return (
    <DatesProvider settings={{ locale: language, firstDayOfWeek: 1 }}>
      <DatePicker
        type="range"
        allowSingleDateInRange
        hideOutsideDates
        weekendDays={[]}
        value={dates}
        onChange={onChange}
        ariaLabels={{
          previousMonth: t('range.previous_month'),
          nextMonth: t('range.next_month'),
          monthLevelControl: t('range.choose_month'),
          yearLevelControl: t('range.choose_year'),
          previousYear: t('range.previous_year'),
          nextYear: t('range.next_year'),
          previousDecade: t('range.previous_decade'),
          nextDecade: t('range.next_decade'),
        }}
      />
    </DatesProvider>
  );
}
